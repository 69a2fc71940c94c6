-- $1 is_active, $2 title pattern, $3 target pattern, $4 after id, $5 limit, $6 offset
-- With a pattern this is a scan of the table, by intent: "contains" has no index.
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where id > $4
  and deleted_at is null
  and ($1::boolean is null or is_active = $1)
  and ($2::text is null or title ilike $2 collate "C" escape '\')
  and ($3::text is null or target ilike $3 collate "C" escape '\')
order by id
limit $5 offset $6
