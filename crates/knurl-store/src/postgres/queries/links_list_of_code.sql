-- $1 short_code, $2 is_active, $3 title pattern, $4 target pattern, $5 after id, $6 limit, $7 offset, $8 owner
-- Several where an import brought twins.
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where domain = ''
  and short_code = $1
  and id > $5
  and deleted_at is null
  and ($2::boolean is null or is_active = $2)
  and ($3::text is null or title ilike $3 collate "C" escape '\')
  and ($4::text is null or target ilike $4 collate "C" escape '\')
  and ($8::bigint is null or owner = $8)
order by id
limit $6 offset $7
