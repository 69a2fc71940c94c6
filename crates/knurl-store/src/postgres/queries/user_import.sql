-- $1 ids, $2 usernames, $3 emails, $4 username_keys, $5 email_keys, $6 created_at, $7 username_twins, $8 email_twins. Inserts nothing where
-- the id or a key was taken meanwhile.
insert into users (id, username, email, username_key, email_key, created_at, username_twin, email_twin)
select *
from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])
on conflict do nothing
