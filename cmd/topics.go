package cmd

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/villapay/villapay/internal/render"
	"github.com/villapay/villapay/internal/sandbox"
	"github.com/villapay/villapay/internal/sandbox/cognito"
)

// addTopics adds the `help TOPIC` pages. To cobra a command without Run is a help
// topic.
func addTopics(root *cobra.Command) {
	root.AddCommand(
		&cobra.Command{Use: "environment", Short: "Variables and files that villapay reads", Long: topicEnvironment},
		&cobra.Command{Use: "exit-codes", Short: "What each exit code means", Long: topicExitCodes},
		&cobra.Command{Use: "formatting", Short: "Output formats, the payment object, --jq", Long: topicFormatting},
	)
}

const topicEnvironment = `A flag overrides a variable, a variable overrides the config file, and the config
file overrides the built-in default. Values are trimmed.

  VILLAPAY_ENV             environment to use
  VILLAPAY_TOKEN           ID token to send instead of signing in
  VILLAPAY_LEDGER          sqlite, postgres://... or none
  VILLAPAY_OUTPUT          output format
  VILLAPAY_USERNAME        user name for login
  VILLAPAY_PASSWORD        password for login
  VILLAPAY_CLIENT_SECRET   secret of a confidential app client, for login
  VILLAPAY_KBANK_SECRET    the merchant's secret key for the bank's API. With it,
                           pay qr shows a code that bank apps pay, order status
                           asks the bank, and order cancel and order void work
  VILLAPAY_WEBHOOK_SECRET  secret key that notifications are signed with: the
                           same one, only for webhook commands
  VILLAPAY_NO_INPUT        never ask anything (CI does the same)
  VILLAPAY_DEBUG           show requests and responses, without secrets
  VILLAPAY_CONFIG_DIR      where config.yaml is
  VILLAPAY_STATE_DIR       where the ledger, the sign-in and the log are

For the selected environment, so that a container needs no file:

  VILLAPAY_BASE_URL            the API's base URL
  VILLAPAY_SOURCE              qr or wechat
  VILLAPAY_TIMEOUT             such as 30s
  VILLAPAY_AUTH_USER_POOL_ID   user pool to sign in to
  VILLAPAY_AUTH_CLIENT_ID      its app client
  VILLAPAY_AUTH_REGION         its region

An empty variable counts as unset, except VILLAPAY_ENV, _BASE_URL, _LEDGER,
_TOKEN, _KBANK_SECRET and _AUTH_*. If one of these is empty and its value is
needed, that is an error, so that a missing CI secret never means the default.

NO_COLOR, TERM=dumb, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE work as usual.

Files: config.yaml in the config directory (` + "`villapay env show`" + ` shows where each
value comes from); ledger.db, tokens and log/ in the state directory, readable
only by you. Secrets are never written to config.yaml.
`

const topicExitCodes = `  0    done
  1    internal error, or the result could not be written
  2    usage: a bad flag or argument; nothing was sent
  3    configuration, ledger or local disk; nothing was sent
  4    not signed in, or not allowed
  5    rejected by the API or the bank; no such payment; nothing that can be
       shown, canceled or voided
  6    outcome unknown, or incomplete (the order was made, its code could not be
       fetched). Run the same command again: that is safe, it repeats the request
       with the same key
  7    the API or the sign-in cannot be reached; nothing was made
  8    not paid (with --watch, --watch-for or --exit-status)
  9    finished, with failures or differences, or a batch was stopped after
       orders were made (6 outranks it)
  130  interrupted by Ctrl-C or SIGTERM (webhook listen, sandbox serve: 0)

A script must repeat the command on 6, without --new. Without a ledger, it must
also set --idempotency-key.

  tries=0
  until villapay pay qr "$order" -o json > order.json; do
    code=$? tries=$((tries + 1))
    case $code in
      6 | 7) [ "$tries" -lt 10 ] || exit "$code"; sleep 5 ;;
      *) exit "$code" ;;
    esac
  done
`

const topicFormatting = `-o table   for people (default); at a terminal ` + "`pay qr`" + ` draws the code under it
-o json    one object for a payment, an array for a list, one line per order for
           a batch; indented at a terminal; when piped, one line, and in order
           list, find and reconcile one line per element. Of token, completion,
           webhook send and the servers, only errors are JSON
-o yaml    the same as YAML
-o csv     for lists and batches, with CRLF line ends: orderid,source,state,
           id,amount,currency,created_at,expires_at,env,error_code,
           error_message,reference_order,charge_id,paid_at,paid_by,
           bank_state,recorded_at,replaced_by,warnings
-o qr      only the code; its caption goes to stderr
--jq EXPR  filters the JSON; strings are printed raw, numbers keep their digits

The payment object has the order's fields as the API sent them. Villapay adds its
own under "villapay":

  orderid, env, source      from the request
  state                     sending, awaiting, paid, failed, rejected, unknown,
                            expired, cancelled or refunded
  created_at, expires_at    Bangkok time, RFC 3339
  expires_in                whole seconds left, null if nothing expires
  idempotency_key, attempts, replayed, request_id
  known_at, known_from      time and source of the state: api, bank, webhook or
                            ledger
  bank_state, charge_id, paid_by, replaced_by
  paid_at, paid_at_from     the charge's time ("bank"), else when villapay first
                            saw the payment ("known")
  qr                        {kind, content, expires_at} of the code that may be
                            shown now, else null; kind is thai_qr, wechat, page
                            (of the shop) or reference (no bank app pays it)
  warnings                  [{code, message}]
  events                    its history, only with ` + "`order show`" + `
  error                     null, or
                            {code, message, status, request_id, retryable}

Unknown values are null. JSON Schemas are in docs/schema of the repository.

The order's own status "success" means that it was made, not that it was paid.
Use villapay.state.

  villapay pay qr 492500004632 --env sandbox --jq .villapay.state
`

// withSandboxPage makes `help sandbox` list the magic order IDs. The page is built
// on demand, to keep other commands fast.
func withSandboxPage(group *cobra.Command) *cobra.Command {
	group.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if cmd == group {
			cmd.Long = sandboxPage()
		}
		cmd.Root().HelpFunc()(cmd, args)
	})
	return group
}

func sandboxPage() string {
	var page bytes.Buffer
	page.WriteString(`The environment "sandbox" is a stand-in inside villapay for the API and the bank:
no network, no sign-in, no money. It keeps its orders between commands.

` + "`villapay sandbox pay ORDERID` pays an order, as scanning its code would." + `
` + "`villapay sandbox serve` serves it on a port, with its own sign-in." + `
To draw the content of qr_payload:

  villapay env set qr_content '{{.qr_payload}}' --env sandbox

Any order ID makes an order. These have a fixed outcome; add a suffix such as .7
for more of the same kind:

`)
	var rows [][2]string
	for _, m := range sandbox.MagicIDs() {
		rows = append(rows, [2]string{m.ID, m.Outcome})
	}
	twoColumns(&page, rows)
	users := cognito.Users()
	fmt.Fprintf(&page, `
To use it as another environment while `+"`villapay sandbox serve --addr\n127.0.0.1:8080`"+` runs:

  villapay env add stand --base-url http://127.0.0.1:8080
  villapay env set auth.endpoint http://127.0.0.1:8080 --env stand
  villapay env set auth.user_pool_id %s --env stand
  villapay env set auth.client_id %s --env stand
  villapay env set kbank.api_url http://127.0.0.1:8080%s --env stand
  villapay login --env stand

With --require-auth the bank's secret key is %s.
The password of its users is %s, and signing in asks for:

`, cognito.PoolID, cognito.ClientID, sandbox.BankPath, sandbox.BankKey, users[0].Password)
	rows = nil
	for _, u := range users {
		rows = append(rows, [2]string{u.Name, u.Note})
	}
	twoColumns(&page, rows)
	return page.String()
}

// twoColumns writes words and their descriptions, wrapped into two columns.
func twoColumns(page *bytes.Buffer, rows [][2]string) {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	column := render.Screen{TTY: true, UTF8: true, Columns: helpWidth - width - 4}
	for _, row := range rows {
		for i, line := range render.Wrap(column, row[1]) {
			word := row[0]
			if i > 0 {
				word = ""
			}
			fmt.Fprintf(page, "  %-*s  %s\n", width, word, line)
		}
	}
}
