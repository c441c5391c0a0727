// Answers what BuildKit makes of a Dockerfile, a word, or a .dockerignore: a JSON object a line, in and out.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	gofs "io/fs"
	"os"
	"strings"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
)

type question struct {
	Do       string
	Text     []byte
	Escape   string
	Env      []string
	Args     map[string]string
	Bases    map[string]json.RawMessage
	Arch     string
	Patterns []string
	Path     string
}

type named struct {
	Name string
	Code string
	What any
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for in.More() {
		var asked question
		if err := in.Decode(&asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		out.Encode(answer(asked))
	}
}

func answer(asked question) map[string]any {
	found, err := do(asked)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"answer": found}
}

func do(asked question) (any, error) {
	switch asked.Do {
	case "parse":
		return parse(asked.Text)
	case "image":
		return image(asked)
	case "word":
		word, _, err := lex(asked).ProcessWord(string(asked.Text), shell.EnvsFromSlice(asked.Env))
		return word, err
	case "ignored":
		return ignorefile.ReadAll(bytes.NewReader(asked.Text))
	case "match":
		return patternmatcher.MatchesOrParentMatches(asked.Path, asked.Patterns)
	case "walk":
		return walk(asked)
	}
	return nil, fmt.Errorf("unknown question %q", asked.Do)
}

func lex(asked question) *shell.Lex {
	return shell.NewLex([]rune(asked.Escape)[0])
}

// parse returns every instruction as BuildKit types it, before any variable is replaced.
func parse(text []byte) (any, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, args, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	found := []named{}
	for _, arg := range args {
		found = append(found, named{"ARG", arg.String(), arg})
	}
	for _, stage := range stages {
		found = append(found, named{"FROM", stage.SourceCode, stage})
		for _, command := range stage.Commands {
			found = append(found, named{strings.ToUpper(command.Name()), fmt.Sprint(command), command})
		}
	}
	return map[string]any{"escape": string(parsed.EscapeToken), "instructions": found}, nil
}

type bases map[string]json.RawMessage

func (b bases) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, known := b[ref]
	if !known {
		return "", "", nil, fmt.Errorf("no base image %s", ref)
	}
	return ref, digest.FromBytes(config), config, nil
}

// image returns the configuration of the image that a Dockerfile makes.
func image(asked question) (any, error) {
	platform := ocispecs.Platform{OS: "linux", Architecture: asked.Arch}
	result, err := dockerfile2llb.Dockerfile2LLB(context.Background(), asked.Text, dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs:      asked.Args,
			BuildPlatforms: []ocispecs.Platform{platform},
		},
		TargetPlatform: &platform,
		MetaResolver:   bases(asked.Bases),
	})
	if err != nil {
		return nil, err
	}
	return result.Image.Config, nil
}

// walk returns the paths of a folder that reach the builder.
func walk(asked question) (any, error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(asked.Text))
	if err != nil {
		return nil, err
	}
	found := []string{}
	err = fsutil.WalkDir(context.Background(), asked.Path, &fsutil.FilterOpt{ExcludePatterns: patterns},
		func(path string, _ gofs.DirEntry, err error) error {
			found = append(found, path)
			return err
		})
	return found, err
}
