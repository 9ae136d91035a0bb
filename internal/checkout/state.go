package checkout

import "github.com/villapay/villapay/internal/order"

// replaced is the state of a page in whose order's place another one was made.
const replaced order.State = "replaced"

// words are what a state is called in both languages.
type words struct {
	thai, english string
	final         bool
}

func wordsFor(state order.State) words {
	switch state {
	case order.Awaiting:
		return words{"รอการชำระเงิน", "Waiting for payment", false}
	case order.Paid:
		return words{"ชำระเงินเรียบร้อยแล้ว ขอบคุณ", "Paid. Thank you.", true}
	case order.Expired:
		return words{"หมดเวลาชำระเงิน กรุณาแจ้งพนักงาน", "Expired. Please ask the staff for a new code.", true}
	case order.Failed, order.Rejected:
		return words{"รายการไม่สำเร็จ กรุณาแจ้งพนักงาน", "Failed. Please ask the staff.", true}
	case order.Cancelled:
		return words{"ยกเลิกรายการแล้ว", "Canceled.", true}
	case order.Refunded:
		return words{"คืนเงินแล้ว", "Refunded.", true}
	case order.Sending, order.Unknown:
		return words{"กำลังเตรียมรายการ", "Preparing the order", false}
	}
	return words{"มีรายการใหม่แทนรายการนี้แล้ว กรุณาอย่าชำระ", "A newer order replaces this one. Please do not pay here.", true}
}
