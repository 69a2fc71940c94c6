-- $1 is_active, $2 title pattern, $3 target pattern
select count(*)
from links
where deleted_at is null
  and ($1::boolean is null or is_active = $1)
  and ($2::text is null or title ilike $2 collate "C" escape '\')
  and ($3::text is null or target ilike $3 collate "C" escape '\')
