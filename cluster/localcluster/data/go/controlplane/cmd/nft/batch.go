//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The kernel's numbers for what programs note about a table, a chain and a counter
// (linux/netfilter/nf_tables.h).
const tableComment, chainComment, counterComment = 6, 12, 8

// A batch is what the kernel takes as a whole or not at all.
type batch struct {
	messages []netlink.Message
	// commands says for each message which command it belongs to.
	commands []command
	// current is the command that messages are being made for, and comment what it
	// says about the table, chain or counter.
	current command
	comment string
}

// collect takes a batch of the library's apart, without what begins and ends it.
func (b *batch) collect(request []netlink.Message) ([]netlink.Message, error) {
	for _, message := range request {
		if message.Header.Type == unix.NFNL_MSG_BATCH_BEGIN || message.Header.Type == unix.NFNL_MSG_BATCH_END {
			continue
		}
		message.Header.Flags &^= netlink.Acknowledge // only failures are answered
		if b.current.verb == "create" {
			message.Header.Flags |= netlink.Excl
		}
		data, err := b.commented(message.Header.Type, inHostOrder(message.Data))
		if err != nil {
			return nil, err
		}
		message.Data = data
		b.messages = append(b.messages, message)
		b.commands = append(b.commands, b.current)
	}
	return []netlink.Message{{Header: netlink.Header{Type: netlink.Error}, Data: make([]byte, 20)}}, nil
}

// commented adds the comment to the message that makes a table, a chain or a
// counter: the library has no field for it.
func (b *batch) commented(kind netlink.HeaderType, data []byte) ([]byte, error) {
	places := map[netlink.HeaderType]uint16{
		unix.NFT_MSG_NEWTABLE: tableComment, unix.NFT_MSG_NEWCHAIN: chainComment, unix.NFT_MSG_NEWOBJ: counterComment,
	}
	place, known := places[kind&0xff]
	if !known || b.comment == "" {
		return data, nil
	}
	text := userdata.AppendString(nil, userdata.TypeComment, b.comment)
	added, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: place, Data: text}})
	return append(data, added...), err
}

// inHostOrder corrects a note for readers. The library says of every set in braces
// that its keys are in network order; those of numgen's maps and the names of
// interfaces are not, and nft would list 1 as 16777216.
func inHostOrder(data []byte) []byte {
	note := []byte{10, 0, unix.NFTA_SET_USERDATA, 0, byte(userdata.NFTNL_UDATA_SET_KEYBYTEORDER), 4}
	for _, kind := range []nftables.SetDatatype{nftables.TypeInteger, nftables.TypeIFName} {
		if bytes.Contains(data, []byte{8, 0, unix.NFTA_SET_KEY_TYPE, 0, 0, 0, 0, byte(kind.GetNFTMagic())}) {
			return bytes.Replace(data, append(bytes.Clone(note), 2), append(note, 1), 1)
		}
	}
	return data
}

// commit sends the batch. To check it, its end is left out: the kernel then looks
// at all of it, and keeps nothing.
func (b *batch) commit(check bool) error {
	if len(b.messages) == 0 {
		return nil
	}
	sent := append([]netlink.Message{bracket(unix.NFNL_MSG_BATCH_BEGIN)}, b.messages...)
	if !check {
		sent = append(sent, bracket(unix.NFNL_MSG_BATCH_END))
	}
	var data []byte
	for i, message := range sent {
		message.Header.Sequence = uint32(i)
		message.Header.PID = 0
		message.Header.Length = uint32(unix.NLMSG_HDRLEN + len(message.Data))
		for message.Header.Length%4 != 0 {
			message.Header.Length++
		}
		raw, err := message.MarshalBinary()
		if err != nil {
			return err
		}
		data = append(data, raw...)
	}
	failures, err := talk(data)
	if err != nil {
		return err
	}
	return b.explained(failures)
}

func bracket(kind netlink.HeaderType) netlink.Message {
	subsystem := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request}, Data: subsystem}
}

// A failure is the kernel's answer to one message of a batch.
type failure struct {
	sequence uint32
	errno    unix.Errno
}

// talk sends a batch, and returns what the kernel has to say against it: it has
// said so when sending returns.
func talk(data []byte) ([]failure, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("the kernel has no packet filter: %s", worded(err))
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1) // short answers; old kernels give long ones
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*len(data)); err != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*len(data)) // as much as is allowed
	}
	if err := unix.Sendto(fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("could not send %d bytes of rules to the kernel: %s", len(data), worded(err))
	}
	var failures []failure
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return failures, nil
		}
		if err != nil {
			return nil, fmt.Errorf("could not read the kernel's answer: %s", worded(err))
		}
		answers, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return nil, fmt.Errorf("could not read the kernel's answer: %w", err)
		}
		for _, answer := range answers {
			if answer.Header.Type == unix.NLMSG_ERROR && len(answer.Data) >= 4 {
				if errno := -int32(binaryutil.NativeEndian.Uint32(answer.Data[:4])); errno != 0 {
					failures = append(failures, failure{answer.Header.Seq, unix.Errno(errno)})
				}
			}
		}
	}
}

// explained names the commands that failed.
func (b *batch) explained(failures []failure) error {
	if len(failures) == 0 {
		return nil
	}
	var lines []string
	for _, f := range failures[:min(len(failures), 10)] {
		line := "Could not process rule: " + worded(f.errno)
		if index := int(f.sequence) - 1; index >= 0 && index < len(b.commands) {
			line += "\n" + b.commands[index].text()
		} else if f.errno == unix.EPERM {
			line += " (it takes the rights of root over this network)"
		}
		lines = append(lines, line)
	}
	return errors.New(strings.Join(lines, "\nError: "))
}

// worded is the text of an error as C programs say it: kube-proxy looks for it.
func worded(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
