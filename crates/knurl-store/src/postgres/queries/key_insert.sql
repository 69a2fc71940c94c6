-- $1 name, $2 hash, $3 created_at; nothing where the hash is there already
insert into keys (name, hash, created_at)
values ($1, $2, $3)
on conflict (hash) do nothing
