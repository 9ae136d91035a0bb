// Package cmd is villapay's command line: each command a struct whose run
// method parses its arguments, calls one service and renders one result.
//
// Results go to stdout, everything else to stderr. Invalid input is reported
// before anything is sent. The exit code says what happened (exit.go).
package cmd
