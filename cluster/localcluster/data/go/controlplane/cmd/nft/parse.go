//go:build linux

package main

import "strings"

// A command is one change: "add rule ip TABLE CHAIN WORDS" has the verb add, the
// kind rule, and the words of the rule as its body. Where the words are in
// braces, the body is what is between them.
type command struct {
	verb, kind          string
	family, table, name string
	body                []string
}

func (c command) text() string {
	words := []string{c.verb, c.kind, c.family, c.table}
	if c.name != "" {
		words = append(words, c.name)
	}
	return strings.Join(append(words, c.body...), " ")
}

var verbs = map[string]string{
	"add":    "table chain set map element rule counter",
	"create": "table chain set map element counter",
	"insert": "rule",
	"delete": "table chain set map element counter",
	"flush":  "table chain set map",
}

// parse reads the commands of a text, in both of nft's forms: one command on
// each line, and tables written as blocks.
func parse(text string) ([]command, error) {
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	var commands []command
	c := &cursor{words: words}
	for c.more() {
		switch {
		case c.takeOne(newline, ";") != "":
		case c.take("table"):
			commands = append(commands, block(c)...)
		default:
			commands = append(commands, line(&cursor{words: sentence(c)}, c))
		}
	}
	return commands, c.err
}

// sentence takes the words up to the end of the line, or up to a semicolon or a
// closing brace that belongs to something around it. Inside of braces, the end
// of a line separates nothing.
func sentence(c *cursor) []string {
	var words []string
	depth := 0
	for c.more() {
		switch word := c.peek(); {
		case depth == 0 && (word == newline || word == ";" || word == "}"):
			return words
		case word == "{":
			depth++
		case word == "}":
			depth--
		}
		if word := c.next(); word != newline {
			words = append(words, word)
		}
	}
	if depth > 0 {
		c.fail("a brace is not closed in %q", strings.Join(words, " "))
	}
	return words
}

// line reads one command; what is wrong with it is said to outer.
func line(c, outer *cursor) command {
	read := command{verb: c.next(), kind: c.next()}
	kinds, known := verbs[read.verb]
	if !known || !strings.Contains(" "+kinds+" ", " "+read.kind+" ") {
		c.at = 0
		c.unknown()
	}
	read.family, read.table = where(c)
	if read.kind != "table" {
		read.name = c.next()
	}
	read.body = c.words[min(c.at, len(c.words)):]
	if last := len(read.body) - 1; read.kind != "rule" && last > 0 && read.body[0] == "{" && read.body[last] == "}" {
		read.body = read.body[1:last]
	}
	if c.err != nil {
		outer.fail("%v\n%s", c.err, strings.Join(c.words, " "))
	}
	return read
}

// where reads a table's family, which is ip unless it is said, and its name.
func where(c *cursor) (string, string) {
	family := c.takeOne("ip", "ip6")
	if family == "" {
		family = "ip"
	}
	if other := c.takeOne("inet", "arp", "bridge", "netdev"); other != "" {
		c.fail("this nft knows the families ip and ip6, not %s", other)
	}
	return family, c.next()
}

// block reads a table in braces. What is in it comes first, then the elements
// and rules: they can name a chain that is written further below.
func block(c *cursor) []command {
	family, table := where(c)
	objects := []command{{verb: "add", kind: "table", family: family, table: table}}
	var contents []command
	c.want("{")
	for c.more() && !c.take("}") {
		if c.takeOne(newline, ";") != "" {
			continue
		}
		if c.take("comment") {
			objects[0].body = []string{"comment", c.next()}
			continue
		}
		made := command{verb: "add", kind: c.takeOne("chain", "set", "map", "counter"), family: family, table: table}
		if made.kind == "" {
			c.unknown()
			break
		}
		made.name = c.next()
		c.want("{")
		inside := made
		for _, words := range sentences(c) {
			switch first := words[0]; {
			case made.kind == "chain" && first != "type" && first != "policy" && first != "comment":
				inside.kind, inside.body = "rule", words
				contents = append(contents, inside)
			case first == "elements" && len(words) > 3 && words[1] == "=":
				inside.kind, inside.body = "element", words[3:len(words)-1]
				contents = append(contents, inside)
			default:
				made.body = append(append(made.body, words...), ";")
			}
		}
		c.want("}")
		objects = append(objects, made)
	}
	return append(objects, contents...)
}

// sentences reads what is in a chain or a set, up to its closing brace.
func sentences(c *cursor) [][]string {
	var all [][]string
	for c.more() && c.peek() != "}" {
		if c.takeOne(newline, ";") != "" {
			continue
		}
		all = append(all, sentence(c))
	}
	return all
}
