package cmd

import "context"

// confirmLive asks the user to confirm an action on a live environment, env.
func (a *app) confirmLive(ctx context.Context, env, question string) error {
	if a.flags.yes {
		return nil
	}
	if !a.interactive() {
		return usageError("add --yes", "%s takes real money, and %s", env, a.whyNotAsk("at"))
	}
	yes, err := a.confirm(ctx, question)
	if err == nil && !yes {
		err = &failure{Code: "not_confirmed", Message: "not confirmed; nothing was sent", ExitCode: exitUsage}
	}
	return err
}
