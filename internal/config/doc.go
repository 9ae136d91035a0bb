// Package config reads config.yaml, the VILLAPAY_* variables and the flags into
// one immutable [Config], and edits the file for `villapay env`.
//
// It promises that
//   - precedence is flag, variable, file, built-in default, for every value, and
//     [Config.Values] says which of them a value came from;
//   - a file is read whole or not at all: an unknown key, a wrong type or an
//     invalid value anywhere in it is an [*Error] that names the line;
//   - an environment whose base_url is that of a live one is live, whatever its
//     name and its own `live`;
//   - an edit changes one key and keeps every comment, the order and the layout;
//     a crash leaves the old file or the new one, and of two edits at once both
//     are kept;
//   - secrets never enter the file through this package, and none is shown.
//
// Reading creates nothing on disk.
package config
