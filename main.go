// Villapay makes KBank QR and WeChat payment orders for Villa orders and reports
// their status.
package main

import (
	"os"

	"github.com/villapay/villapay/cmd"
)

func main() { os.Exit(cmd.Main()) }
