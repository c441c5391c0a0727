// Answers which logins a kubelet finds for an image in pull secrets: a JSON object a line, in and out.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

type question struct {
	Image   string
	Secrets []v1.Secret
}

type login struct {
	Username string
	Password string
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
	keyring, err := secrets.MakeDockerKeyring(asked.Secrets, &credentialprovider.BasicDockerKeyring{})
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	found := []login{}
	configs, _ := keyring.Lookup(asked.Image)
	for _, config := range configs {
		found = append(found, login{config.Username, config.Password})
	}
	return map[string]any{"answer": found}
}
