-- +goose Up

-- A letter that fails too often while a job waits or is paused is skipped when its turn comes, too.
alter table replay_jobs add column max_times integer not null default 2147483647; -- of failed replays, before a letter is left out
