//go:build linux

package main

import (
	"fmt"
	"strings"
)

const newline = "\n"

// split cuts a text into words. A quoted text is one word, with its quotes;
// { } ; , and the end of a line are words of their own, as = is between spaces.
func split(text string) ([]string, error) {
	var words []string
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '"':
			end := strings.IndexAny(text[i+1:], "\"\n")
			if end < 0 || text[i+1+end] == '\n' {
				return nil, fmt.Errorf("a quotation mark is not closed: %s", text[i:min(i+40, len(text))])
			}
			words = append(words, text[i:i+end+2])
			i += end + 2
		case strings.IndexByte("{};,\n", c) >= 0:
			words = append(words, string(c))
			i++
		default:
			end := strings.IndexAny(text[i:], " \t\r\n;{},\"")
			if end < 0 {
				end = len(text) - i
			}
			words = append(words, text[i:i+end])
			i += end
		}
	}
	return words, nil
}

// unquoted is a word without its quotation marks.
func unquoted(word string) string {
	return strings.TrimSuffix(strings.TrimPrefix(word, `"`), `"`)
}

// A cursor reads words one by one. After its first failure there are no more
// words, so that whoever reads can look at err in the end.
type cursor struct {
	words []string
	at    int
	err   error
}

func (c *cursor) more() bool {
	return c.err == nil && c.at < len(c.words)
}

func (c *cursor) peek() string {
	if c.more() {
		return c.words[c.at]
	}
	return ""
}

func (c *cursor) next() string {
	word := c.peek()
	if word == "" {
		c.fail("a word is missing at the end")
	}
	c.at++
	return word
}

// take moves on if these are the next words.
func (c *cursor) take(words ...string) bool {
	if c.err != nil || c.at+len(words) > len(c.words) {
		return false
	}
	for i, word := range words {
		if c.words[c.at+i] != word {
			return false
		}
	}
	c.at += len(words)
	return true
}

// takeOne moves on if the next word is one of these, and returns it.
func (c *cursor) takeOne(words ...string) string {
	for _, word := range words {
		if c.take(word) {
			return word
		}
	}
	return ""
}

// comment reads the text of a comment.
func (c *cursor) comment() string {
	text := unquoted(c.next())
	if len(text) > 128 {
		c.fail("a comment has at most 128 characters: %q", text)
	}
	return text
}

func (c *cursor) want(word string) {
	if !c.take(word) {
		c.fail("expected %q before %q", word, c.rest())
	}
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// unknown refuses the words from here on.
func (c *cursor) unknown() {
	c.fail("this nft does not know the words %q", c.rest())
}

func (c *cursor) rest() string {
	return strings.Join(c.words[min(c.at, len(c.words)):], " ")
}
