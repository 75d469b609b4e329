package config

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

func (s *source) decodeString(n ast.Node, v reflect.Value, path string) {
	text, quoted, ok := scalar(n)
	if !ok {
		s.mismatch(n, path, "text")
		return
	}
	if other := otherwise(text); other != "" && !quoted {
		s.reject(path, "%s is %s in YAML; quote it: %q", text, other, text)
		return
	}
	v.SetString(text)
}

func (s *source) decodeInt(n ast.Node, v reflect.Value, path string) {
	text, quoted, ok := scalar(n)
	number, err := strconv.Atoi(text)
	switch {
	case !ok || err != nil:
		s.mismatch(n, path, "a whole number")
	case quoted:
		s.reject(path, "%q is text, not a whole number; remove the quotes", text)
	case strconv.Itoa(number) != text: // 010 is 8 or 10, depending on whom you ask
		s.reject(path, "%s can be misread; write %d", text, number)
	default:
		v.SetInt(int64(number))
	}
}

func (s *source) decodeFloat(n ast.Node, v reflect.Value, path string) {
	text, quoted, ok := scalar(n)
	number, err := strconv.ParseFloat(text, 64)
	switch {
	case !ok || err != nil || math.IsNaN(number) || math.IsInf(number, 0):
		s.mismatch(n, path, "a number")
	case quoted:
		s.reject(path, "%q is text, not a number; remove the quotes", text)
	default:
		v.SetFloat(number)
	}
}

func (s *source) decodeBool(n ast.Node, v reflect.Value, path string) {
	text, quoted, ok := scalar(n)
	switch {
	case ok && quoted:
		s.reject(path, "%q is text; write true or false without quotes", text)
	case !ok || text != "true" && text != "false": // yes and on are text to some readers
		s.mismatch(n, path, "true or false")
	default:
		v.SetBool(text == "true")
	}
}

func (s *source) decodeDuration(n ast.Node, d *time.Duration, path string) {
	text, _, ok := scalar(n)
	if _, err := strconv.Atoi(text); ok && err == nil {
		s.reject(path, "%s has no unit; write %ss for seconds", text, text)
		return
	}
	duration, err := time.ParseDuration(text)
	if !ok || err != nil {
		s.mismatch(n, path, "a duration, such as 30s, 5m or 1h30m")
		return
	}
	*d = duration
}

// mismatch notes that the value at path is not what is wanted there.
func (s *source) mismatch(n ast.Node, path, want string) {
	if path == "" {
		s.add(placeOfNode(n), "the file is %s, not %s", kind(n), want)
		s.faults = append(s.faults, path)
		return
	}
	s.reject(path, "%s is not %s", kind(n), want)
}

// kind names what a node is: a scalar by its text.
func kind(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		text, _, _ := scalar(n)
		return quote(text)
	}
	return strings.TrimSpace(n.GetToken().Value)
}

// quote puts text between quotes, cut if it is too long for one line.
func quote(text string) string {
	if runes := []rune(text); len(runes) > 40 {
		text = string(runes[:40]) + "…"
	}
	return strconv.Quote(text)
}

// scalar returns a scalar as it is written, without quotes or block indentation,
// and whether something marks it as text.
func scalar(n ast.Node) (text string, quoted, ok bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true, true
	case *ast.StringNode:
		t := n.GetToken().Type
		return n.Value, t == token.DoubleQuoteType || t == token.SingleQuoteType, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

// otherwise returns what plain text is to a YAML reader of whatever version, if
// it is not simply text. Such text must be quoted: people write 1.20 or no as the
// value of a variable, and the next tool makes 1.2 or false of it.
func otherwise(text string) string {
	switch strings.ToLower(text) {
	case "true", "false", "yes", "no", "on", "off":
		return "a boolean"
	case "", "~", "null":
		return "no value"
	case ".inf", "+.inf", "-.inf", ".nan":
		return "a number"
	}
	if !strings.ContainsAny(text[:1], "+-.0123456789") {
		return ""
	}
	digits := strings.ReplaceAll(text, "_", "")
	_, notInt := strconv.ParseInt(digits, 0, 64)
	_, notFloat := strconv.ParseFloat(digits, 64)
	if notInt == nil || notFloat == nil {
		return "a number"
	}
	return ""
}

// short writes a duration as people do: 10m rather than 10m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
