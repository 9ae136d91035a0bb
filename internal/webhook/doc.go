// Package webhook receives the bank's payment notifications and makes test
// notifications.
//
// It accepts a notification only if its checksum proves that the bank sent it, and
// answers 200 only after the ledger has stored it. A sender cannot exhaust the
// listener. The ledger applies notifications to payments.
package webhook
