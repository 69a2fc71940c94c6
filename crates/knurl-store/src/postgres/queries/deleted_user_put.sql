-- $1 id, $2 created_at
insert into deleted_users (id, created_at)
values ($1, $2)
on conflict (id) do update
set created_at = excluded.created_at
