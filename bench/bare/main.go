// Command bare is the least that a Go program can be: what it takes to start is
// what every Go program pays.
package main

func main() {}
