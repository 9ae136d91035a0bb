// Package cmd is villapay's command line: each command a struct whose run
// method parses its arguments, calls one service and renders one result.
//
// It promises that results go to stdout and everything else to stderr, that bad
// input is refused before anything is sent, and that the exit code says what
// happened (exit.go).
package cmd
