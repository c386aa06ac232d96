package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"orderflow/pkg/freeport"
)

const (
	nodes          = 3
	clusterID      = "orderflow-chaos-clust0" // 22 characters, as Kafka wants them
	clusterWithin  = 4 * time.Minute
	inSyncWithin   = 2 * time.Minute
	shrinkWithin   = 8 * time.Second
	askWithin      = 5 * time.Second
	kafkaStopGrace = 0 // its data is thrown away
)

// cluster is a Kafka of three nodes, each broker and controller, replication 3, at least two replicas in sync.
type cluster struct {
	nodes []*child
	addrs []string
	admin *kadm.Client
}

// startCluster formats and starts the nodes from the jars that deploy/kafka/fetch.sh has put there.
func startCluster(ctx context.Context, root, dir string) (*cluster, error) {
	kafka := filepath.Join(root, "deploy", "kafka")
	if _, err := os.Stat(filepath.Join(kafka, "libs")); err != nil {
		return nil, fmt.Errorf("no Apache Kafka, run deploy/kafka/fetch.sh: %w", err)
	}
	template, err := os.ReadFile(filepath.Join(kafka, "cluster.properties"))
	if err != nil {
		return nil, err
	}
	var brokers, controllers, voters []string
	first, err := freeport.Next(2 * nodes)
	if err != nil {
		return nil, err
	}
	for n := range nodes {
		brokers, controllers = append(brokers, strconv.Itoa(first+n)), append(controllers, strconv.Itoa(first+nodes+n))
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%s", n+1, controllers[n]))
	}
	c := &cluster{}
	classes := filepath.Join(kafka, "libs", "*")
	var formats errgroup.Group
	for n := range nodes {
		name := fmt.Sprintf("kafka%d", n+1)
		path := filepath.Join(dir, name+".properties")
		config := strings.NewReplacer("@NODE@", fmt.Sprint(n+1), "@VOTERS@", strings.Join(voters, ","),
			"@BROKER_PORT@", brokers[n], "@CONTROLLER_PORT@", controllers[n], "@DATA@", filepath.Join(dir, name)).Replace(string(template))
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, err
		}
		formats.Go(func() error {
			out, err := exec.CommandContext(ctx, "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes,
				"kafka.tools.StorageTool", "format", "-t", clusterID, "-c", path).CombinedOutput()
			if err != nil {
				return fmt.Errorf("format the storage of %s: %w\n%s", name, err, out)
			}
			return nil
		})
		c.addrs = append(c.addrs, "127.0.0.1:"+brokers[n])
		c.nodes = append(c.nodes, &child{name: name, log: filepath.Join(dir, name+".log"), args: []string{
			"java", "-Xms128m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
			"-Dlog4j2.configurationFile=" + filepath.Join(kafka, "log4j2.properties"), "-cp", classes, "kafka.Kafka", path,
		}})
	}
	if err := formats.Wait(); err != nil {
		return nil, err
	}
	for _, node := range c.nodes {
		if err := node.start(); err != nil {
			return c, err
		}
	}
	return c, c.awaitNodes(ctx)
}

// awaitNodes waits until all nodes are in the cluster.
func (c *cluster) awaitNodes(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return err
	}
	c.admin = kadm.NewClient(client)
	return eventually(ctx, clusterWithin, "all Kafka nodes answer", func() error {
		asking, cancel := context.WithTimeout(ctx, askWithin)
		defer cancel()
		brokers, err := c.admin.ListBrokers(asking)
		if err == nil && len(brokers) != nodes {
			err = fmt.Errorf("%d of %d nodes: %s", len(brokers), nodes, tail(c.nodes[0].log, 2))
		}
		return err
	})
}

// awaitInSync waits until every replica of every partition is in sync.
func (c *cluster) awaitInSync(ctx context.Context) error {
	return eventually(ctx, inSyncWithin, "all replicas are in sync", func() error {
		least, err := c.leastInSync(ctx)
		if err == nil && least < nodes {
			err = fmt.Errorf("a partition has %d replicas in sync", least)
		}
		return err
	})
}

// awaitShrunk waits until a lost node is seen to be lost: right after a kill the metadata still tells of its replicas.
func (c *cluster) awaitShrunk(ctx context.Context) {
	_ = eventually(ctx, shrinkWithin, "", func() error {
		least, err := c.leastInSync(ctx)
		if err == nil && least == nodes {
			err = errors.New("all in sync")
		}
		return err
	})
}

func (c *cluster) leastInSync(ctx context.Context) (int, error) {
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	topics, err := c.admin.ListTopicsWithInternal(asking)
	if err != nil {
		return 0, err
	}
	least := nodes
	for _, topic := range topics {
		for _, p := range topic.Partitions {
			least = min(least, len(p.ISR))
		}
	}
	return least, nil
}

func (c *cluster) end() {
	if c.admin != nil {
		c.admin.Close()
	}
	for _, node := range c.nodes {
		if node.over != nil {
			node.end(kafkaStopGrace)
		}
	}
}
