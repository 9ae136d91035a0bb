// Package table reads the lists that people and programs export: CSV with comma,
// semicolon or tab, with a header or without, one JSON object a line, or a JSON
// array, in UTF-8 or UTF-16, whatever ends its lines.
//
// It promises to take nothing for what it is not. What cannot be read is an
// [Error] with its line: an ID that a program has made a number of, a second
// header, a quote that is left open. A file of any size needs no memory: one
// record is bounded.
package table
