package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/privacy"
)

const (
	selectContentKey = `select sealed from content_key`
	insertContentKey = `insert into content_key (sealed) values ($1) on conflict do nothing`
)

// contentPlace is where the sealed content key belongs.
func contentPlace() []byte { return privacy.Place("content_key.sealed") }

// ContentKey is the key of this database's digests. Whoever needs it first makes it; it never changes, so it is read once.
// An error is nobody's fault but the world's: the database is away, or PAYLOAD_KEYS lacks the key that it is sealed under.
func (s *Store) ContentKey(ctx context.Context, keys *privacy.Keys) (*privacy.ContentKey, error) {
	if content := s.content.Load(); content != nil {
		return content, nil
	}
	sealed, err := s.sealedContentKey(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read content key: %w", err)
	}
	content, err := keys.ContentKey(sealed, contentPlace())
	if err != nil {
		return nil, fmt.Errorf("open content key: %w: PAYLOAD_KEYS lacks key %q, or has another one under that id: put it back. If it is lost "+
			"for good, delete the row of table content_key and restart: pushes that repeat older ones then count as changed ones", err, privacy.SealedUnder(sealed))
	}
	s.content.Store(content)
	return content, nil
}

func (s *Store) sealedContentKey(ctx context.Context, keys *privacy.Keys) (sealed []byte, err error) {
	err = s.pool.QueryRow(ctx, selectContentKey).Scan(&sealed)
	if !errors.Is(err, pgx.ErrNoRows) {
		return sealed, err
	}
	if _, err := s.pool.Exec(ctx, insertContentKey, keys.NewContentKey(contentPlace())); err != nil {
		return nil, err
	}
	err = s.pool.QueryRow(ctx, selectContentKey).Scan(&sealed) // ours, or that of who was faster
	return sealed, err
}

// keyedFacts gives the facts with their digests under the key, and leaves the caller's alone.
func keyedFacts(content *privacy.ContentKey, facts []*Fact) []*Fact {
	keyed := make([]*Fact, len(facts))
	for i, f := range facts {
		one := *f
		one.Meta.Digest = content.Keyed(f.Meta.Digest)
		if f.Delivery != nil {
			delivery := *f.Delivery
			delivery.Digest = content.Keyed(delivery.Digest)
			one.Delivery = &delivery
		}
		keyed[i] = &one
	}
	return keyed
}

// keyDigests puts what an earlier release wrote without a key under it, so that it compares with what comes now.
func (a *account) keyDigests(content *privacy.ContentKey) {
	a.order.contentDigest, a.order.deliveredDigest = content.Keyed(a.order.contentDigest), content.Keyed(a.order.deliveredDigest)
	for _, r := range a.revisions {
		r.digest = content.Keyed(r.digest)
	}
}
