package testchrome

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Page is one open tab. Whatever fails ends the test.
type Page struct {
	browser *Browser
	session string

	mu       sync.Mutex
	requests []string
	problems []string
}

// View is what the screen is like to the page in a tab. The zero value is the
// browser's own.
type View struct {
	Width, Height int
	Mobile, Dark  bool
	Language      string // for Accept-Language
}

// params are a command's parameters.
type params map[string]any

// Open opens an address in a tab of its own and waits until it has loaded.
func (b *Browser) Open(url string, view View) *Page {
	b.t.Helper()
	var target struct{ TargetID string }
	b.must(b.call("", "Target.createTarget", params{"url": "about:blank"}, &target))
	var attached struct{ SessionID string }
	b.must(b.call("", "Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &attached))
	p := &Page{browser: b, session: attached.SessionID}
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		p.do(domain+".enable", nil)
	}
	p.see(view)
	p.do("Page.navigate", params{"url": url})
	p.until("the page to load", `document.readyState === "complete" && location.href !== "about:blank"`)
	return p
}

func (b *Browser) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (p *Page) see(view View) {
	if view.Width > 0 {
		p.do("Emulation.setDeviceMetricsOverride", params{"width": view.Width, "height": view.Height, "deviceScaleFactor": 1, "mobile": view.Mobile})
	}
	if view.Dark {
		p.do("Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-color-scheme", "value": "dark"}}})
	}
	if view.Language != "" {
		p.do("Network.setExtraHTTPHeaders", params{"headers": params{"Accept-Language": view.Language}})
	}
}

func (p *Page) do(method string, with params) {
	p.browser.t.Helper()
	p.browser.must(p.browser.call(p.session, method, with, nil))
}

// heard notes what the tab asked for and what it complained of.
func (p *Page) heard(m message) {
	var said struct {
		Request          struct{ URL string }
		Entry            struct{ Level, Text string }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if json.Unmarshal(m.Params, &said) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Method {
	case "Network.requestWillBeSent":
		p.requests = append(p.requests, said.Request.URL)
	case "Log.entryAdded":
		if said.Entry.Level == "error" {
			p.problems = append(p.problems, said.Entry.Text)
		}
	case "Runtime.exceptionThrown":
		p.problems = append(p.problems, said.ExceptionDetails.Text+" "+said.ExceptionDetails.Exception.Description)
	}
}

// Requests are the addresses that the tab asked for so far, in order.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Problems are the errors in the tab's console so far: exceptions, failed
// requests, and what a Content-Security-Policy blocked.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Eval runs a JavaScript expression and returns its value as text.
func (p *Page) Eval(expression string) string {
	p.browser.t.Helper()
	text, err := p.eval(expression)
	p.browser.must(err)
	return text
}

func (p *Page) eval(expression string) (string, error) {
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := p.browser.call(p.session, "Runtime.evaluate", params{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	if err == nil && answer.ExceptionDetails != nil {
		err = fmt.Errorf("%s: %s", expression, answer.ExceptionDetails.Exception.Description)
	}
	if answer.Result.Value == nil {
		return "", err
	}
	return fmt.Sprint(answer.Result.Value), err
}

// until waits for a JavaScript condition. A page may navigate meanwhile, so
// failures to ask are no failures.
func (p *Page) until(what, condition string) {
	p.browser.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if said, err := p.eval(condition); err == nil && said == "true" {
			return
		}
	}
	seen, _ := p.eval(`document.body.innerText`)
	p.browser.t.Fatalf("waited %s for %s; the page shows:\n%s\nproblems: %q", limit, what, seen, p.Problems())
}

// element is an expression for the first visible element that a selector finds,
// null if there is none.
func element(selector string) string {
	return `[...document.querySelectorAll(` + quote(selector) + `)].find(e => e.checkVisibility()) ?? null`
}

// WaitFor waits until a selector finds something that can be seen and that
// shows the text, "" for any.
func (p *Page) WaitFor(selector, text string) {
	p.browser.t.Helper()
	p.until(fmt.Sprintf("%q in %s", text, selector), `(() => { const e = `+element(selector)+`; return e !== null && (e.innerText + (e.value ?? "")).includes(`+quote(text)+`) })()`)
}

// quote writes text as a JavaScript string.
func quote(text string) string {
	raw, _ := json.Marshal(text)
	return string(raw)
}

// Visible reports whether a selector finds something that can be seen.
func (p *Page) Visible(selector string) bool {
	p.browser.t.Helper()
	return p.Eval(`(`+element(selector)+`) !== null`) == "true"
}

// Text is what the first visible element shows.
func (p *Page) Text(selector string) string {
	p.browser.t.Helper()
	p.WaitFor(selector, "")
	return strings.TrimSpace(p.Eval(`(` + element(selector) + `).innerText`))
}

// Click waits for an element and clicks its middle, as a mouse does.
func (p *Page) Click(selector string) {
	p.browser.t.Helper()
	p.WaitFor(selector, "")
	var at struct{ X, Y float64 }
	place := p.Eval(`(() => { const e = ` + element(selector) + `; e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect(); return JSON.stringify({x: r.x + r.width/2, y: r.y + r.height/2}) })()`)
	p.browser.must(json.Unmarshal([]byte(place), &at))
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		p.do("Input.dispatchMouseEvent", params{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1})
	}
}

// Type clicks an element and types into it.
func (p *Page) Type(selector, text string) {
	p.browser.t.Helper()
	p.Click(selector)
	p.do("Input.insertText", params{"text": text})
}

// URL is the address the tab is at.
func (p *Page) URL() string {
	p.browser.t.Helper()
	return p.Eval(`location.href`)
}
