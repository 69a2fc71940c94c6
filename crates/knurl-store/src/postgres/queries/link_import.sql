-- $1 id, $2 domain, $3 short_code, $4 target, $5 title, $6 is_active, $7 status, $8 owner, $9 expires_at, $10 created_at, $11 updated_at,
-- $12 deleted_at, $13 version, $14 twin: arrays. Inserts nothing where the id or the code was taken meanwhile.
insert into links (
  id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version, twin
)
select *
from unnest(
  $1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::smallint[], $8::bigint[], $9::bigint[],
  $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[]
)
on conflict do nothing
