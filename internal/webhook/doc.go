// Package webhook receives the bank's payment notifications and makes test
// ones.
//
// It promises that a notification is believed only where its checksum proves
// that the bank sent it, that it is answered with 200 only after the ledger has
// it durably, and that no sender can exhaust the listener. What a notification
// means for a payment is the ledger's to say.
package webhook
