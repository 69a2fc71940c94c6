-- $1 owner, $2 is_active, $3 title pattern, $4 target pattern, $5 after id, $6 limit, $7 offset
-- By both columns of the index: asked for the order of ids alone, the planner would go through everybody's links for an owner of few.
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where (owner, id) > ($1, $5)
  and owner <= $1
  and deleted_at is null
  and ($2::boolean is null or is_active = $2)
  and ($3::text is null or title ilike $3 collate "C" escape '\')
  and ($4::text is null or target ilike $4 collate "C" escape '\')
order by owner, id
limit $6 offset $7
