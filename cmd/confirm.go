package cmd

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// confirmLive asks the user to confirm an action on a live environment, env. The
// default is no.
func (a *app) confirmLive(ctx context.Context, env, question string) error {
	if a.flags.yes {
		return nil
	}
	if !a.interactive() {
		return usageError("add --yes", "%s takes real money, and %s", env, a.whyNotAsk("at"))
	}
	fmt.Fprintf(a.Err, "%s [y/N] ", a.sanitize(question))
	answer, _ := bufio.NewReader(ctxReader(ctx, a.In)).ReadString('\n')
	if !strings.HasSuffix(answer, "\n") { // Ctrl-D, or Ctrl-C
		fmt.Fprintln(a.Err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &failure{Code: "not_confirmed", Message: "not confirmed; nothing was sent", ExitCode: exitUsage}
}
