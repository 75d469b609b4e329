package lint

import (
	"regexp"
	"strings"
)

// allow is a comment that lets the next statement break one rule, with a reason:
//
//	-- deploy:allow drop-column reason="unused since release 41"
type allow struct {
	rule   string
	line   int // of the comment
	until  int // of the statement that it is for
	used   bool
	column int
}

var allowLine = regexp.MustCompile(`^(\s*--\s*)deploy:allow\b(.*)$`)
var allowText = regexp.MustCompile(`^\s+(\S+)\s+reason="([^"]+)"\s*$`)

// readAllows finds the comments. One that is not as it should be is a finding.
func (r *reading) readAllows(text string) (all []*allow) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		m := allowLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		column := len([]rune(m[1])) + 1
		words := allowText.FindStringSubmatch(m[2])
		_, known := Rules[ruleOf(words)]
		switch {
		case words == nil:
			r.misused(number, column, `this allows nothing`, `want deploy:allow RULE reason="…", the reason not left out`)
		case !known:
			r.misused(number, column, "there is no rule "+words[1], "cutover migrate lint says each rule by its name")
		default:
			all = append(all, &allow{rule: words[1], line: number, column: column})
		}
	}
	return all
}

func ruleOf(words []string) string {
	if words == nil {
		return ""
	}
	return words[1]
}

// allowed reports whether a comment lets the statement on that line break the rule:
// one that stands before it, with no other statement between.
func (r *reading) allowed(rule string, line int) bool {
	for _, a := range r.allows {
		if a.rule == rule && a.line < line && (a.until == 0 || a.until == line) && !r.between(a.line, line) {
			a.used, a.until = true, line
			return true
		}
	}
	return false
}

// between reports whether another statement stands between two lines.
func (r *reading) between(from, to int) bool {
	lines := strings.Split(r.sql, "\n")
	for _, text := range lines[min(from, len(lines)):min(to-1, len(lines))] {
		if text = strings.TrimSpace(text); text != "" && !strings.HasPrefix(text, "--") {
			return true
		}
	}
	return false
}

// unusedAllows reports those that allow what does not happen: they would hide it
// once it does.
func (r *reading) unusedAllows() {
	for _, a := range r.allows {
		if !a.used {
			r.misused(a.line, a.column, "the next statement does not break the rule "+a.rule, "take the comment out")
		}
	}
}

func (r *reading) misused(line, column int, why, instead string) {
	r.findings = append(r.findings, Finding{File: r.path, Line: line, Column: column, Rule: "allow", Class: Transaction, Severity: Error,
		What: "deploy:allow", Why: why, Instead: instead})
}
