-- $1 domains, $2 short_codes, $3 targets, $4 titles, $5 is_active, $6 statuses, $7 owners, $8 expires_at, $9 now, $10 details of their
-- `created` events. For each: its id, whether its owner exists, whether it was created (else its code is taken), whether its owner's row is
-- held by somebody who changes or deletes it (then nothing is known, and nothing was done for it).
-- Owners are kept from being deleted meanwhile; one that is held is not waited for: a group would wait with its create. Codes go in in their order, so that two groups which want the same ones wait for each other
-- one way only; of two with one code in this group the first has it.
with owners as materialized (
  select id
  from users
  where id = any($7::bigint[])
  for key share skip locked
), asked as materialized (
  select
    ord, domain, short_code, target, title, is_active, status, owner, expires_at, now, details,
    nextval('links_id_seq') as id,
    owner is null or exists (select 1 from owners where owners.id = owner) as has_owner
  from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::smallint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[]
  ) with ordinality as given (domain, short_code, target, title, is_active, status, owner, expires_at, now, details, ord)
), made as (
  insert into links (
    id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, version
  )
  select id, domain, short_code, target, title, is_active, status, owner, expires_at, now, now, 1
  from asked
  where has_owner
  order by domain, short_code, ord
  on conflict do nothing
  returning id
), told as (
  insert into events (id, link_id, user_id, event_type, at, details)
  select first.id + row_number() over (order by ord) - 1, asked.id, owner, 'created', now, details
  from made
  join asked using (id)
  cross join (select knurl_event_ids((select count(*) from made)) as id) as first
)
select
  asked.id, has_owner, made.id is not null,
  not has_owner and coalesce((select true from users where users.id = owner), false)
from asked
left join made using (id)
order by ord
