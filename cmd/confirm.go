package cmd

import "context"

// confirmLive asks a question about real money.
func (a *app) confirmLive(ctx context.Context, question string) error {
	if a.flags.yes {
		return nil
	}
	if !a.interactive() {
		return usageError("add --yes to go on without a question", "this is about real money and nobody can be asked")
	}
	yes, err := a.confirm(ctx, question)
	if err == nil && !yes {
		err = &failure{Code: "not_confirmed", Message: "not confirmed; nothing was sent", ExitCode: exitUsage}
	}
	return err
}
