// Package config says where a command talks to and how: it reads config.yaml,
// the VILLAPAY_* variables and the flags into one immutable [Config], and edits
// the file for `villapay env`.
//
// It promises that
//   - precedence is flag, variable, file, built-in default, for every value, and
//     [Config.Values] tells which of them a value came from;
//   - a file is read whole or not at all: an unknown key, a wrong type or a bad
//     value anywhere in it is an [*Error] that names the line, never a default;
//   - an environment whose base_url is that of a live one is live, whatever it
//     calls itself;
//   - an edit changes the one key it was asked to change and keeps every comment,
//     the order and the layout; it is written 0600 beside the file, synced and
//     renamed, under a lock, so that a crash leaves the old file or the new one
//     and two edits at once are both kept;
//   - secrets never enter the file through this package, and none is shown.
//
// Reading creates nothing on disk.
package config
