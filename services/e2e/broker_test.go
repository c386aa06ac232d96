//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

// kfakeAddr makes a run of this binary a kfake broker on that address; kfakeDir is its data directory.
const (
	kfakeAddr = "E2E_KFAKE_ADDR"
	kfakeDir  = "E2E_KFAKE_DIR"
)

// brokerKinds are the two Kafkas that journeys run on: kfake is what `make run` embeds, Apache Kafka is the judge.
var brokerKinds = []struct {
	name  string
	start func(t testing.TB, dir string) *broker
}{
	{"kfake", startKfake},
	{"apache", startApache},
}

// broker is a Kafka in a process of its own, so that it can be frozen and killed.
type broker struct {
	*process
	addr string
}

func startKfake(t testing.TB, dir string) *broker {
	t.Helper()
	addr := freeAddr(t)
	env := []string{kfakeAddr + "=" + addr, kfakeDir + "=" + filepath.Join(dir, "kfake")}
	b := &broker{launch(t, dir, "kfake", env, os.Args[0]), addr}
	b.waitUntilItAnswers(t)
	return b
}

func runKfake(addr string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		fail(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		fail(err)
	}
	_, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number), kfake.DataDir(os.Getenv(kfakeDir)))
	if err != nil {
		fail(err)
	}
	select {} // until it is killed
}

// startApache starts a single real Kafka from the jars that deploy/kafka/fetch.sh has put there.
func startApache(t testing.TB, dir string) *broker {
	t.Helper()
	kafka := filepath.Join(root(), "deploy", "kafka")
	if _, err := os.Stat(filepath.Join(kafka, "libs")); err != nil {
		t.Fatalf("no Apache Kafka, run deploy/kafka/fetch.sh: %v", err)
	}
	addr, controller := freeAddr(t), freeAddr(t)
	template, err := os.ReadFile(filepath.Join(kafka, "server.properties"))
	if err != nil {
		t.Fatal(err)
	}
	port := func(addr string) string { _, port, _ := net.SplitHostPort(addr); return port }
	config := strings.NewReplacer(
		"@BROKER_PORT@", port(addr), "@CONTROLLER_PORT@", port(controller), "@DATA@", filepath.Join(dir, "kafka"),
	).Replace(string(template))
	path := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	classes := filepath.Join(kafka, "libs", "*")
	out, err := exec.CommandContext(t.Context(), "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes,
		"kafka.tools.StorageTool", "format", "-t", "orderflow-e2e-cluster0", "-c", path).CombinedOutput()
	if err != nil {
		t.Fatalf("format the storage of Apache Kafka: %v\n%s", err, out)
	}
	b := &broker{launch(t, dir, "kafka", nil, "java", "-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Dlog4j2.configurationFile="+filepath.Join(kafka, "log4j2.properties"), "-cp", classes, "kafka.Kafka", path), addr}
	b.waitUntilItAnswers(t)
	return b
}

func (b *broker) waitUntilItAnswers(t testing.TB) {
	t.Helper()
	eventually(t, patience, b.name+" answers", func() error {
		if !b.alive() {
			return fmt.Errorf("it ended: %s", tail(b.log, 5))
		}
		conn, err := kafka.DialContext(t.Context(), "tcp", b.addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		_, err = conn.Brokers()
		return err
	})
}

// read gives every record of a topic that is not written in transactions, as an outside client sees it.
func (b *broker) read(t testing.TB, topic string) []kafka.Message {
	t.Helper()
	var all []kafka.Message
	for partition, end := range b.ends(t, topic) {
		if end == 0 {
			continue
		}
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{b.addr}, Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 100 * time.Millisecond,
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for read := int64(0); read < end; {
			m, err := reader.ReadMessage(ctx)
			if err != nil {
				t.Fatalf("read %s/%d at %d of %d: %v", topic, partition, read, end, err)
			}
			all = append(all, m)
			read = m.Offset + 1
		}
		cancel()
		_ = reader.Close()
	}
	return all
}

// readKey gives the records of a topic that have that key.
func (b *broker) readKey(t testing.TB, topic, key string) []kafka.Message {
	t.Helper()
	return slices.DeleteFunc(b.read(t, topic), func(m kafka.Message) bool { return string(m.Key) != key })
}

// ends gives the end offset of every partition of a topic.
func (b *broker) ends(t testing.TB, topic string) map[int]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(b.addr)}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatalf("describe %s: %v", topic, err)
	}
	var ask []kafka.OffsetRequest
	for _, p := range meta.Topics[0].Partitions {
		ask = append(ask, kafka.LastOffsetOf(p.ID))
	}
	if len(ask) == 0 {
		t.Fatalf("topic %s has no partitions: %v", topic, meta.Topics[0].Error)
	}
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		t.Fatalf("ask for the ends of %s: %v", topic, err)
	}
	ends := map[int]int64{}
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			t.Fatalf("end of %s/%d: %v", topic, p.Partition, p.Error)
		}
		ends[p.Partition] = p.LastOffset
	}
	return ends
}

// header gives the last header of that name.
func header(m kafka.Message, name string) string {
	for i := len(m.Headers) - 1; i >= 0; i-- {
		if m.Headers[i].Key == name {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}
