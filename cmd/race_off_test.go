//go:build !race

package cmd

// racing tells that the race detector is on, under which everything takes many
// times as long.
const racing = false
