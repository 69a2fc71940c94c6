-- $1 owner, $2 is_active, $3 title pattern, $4 target pattern
select count(*)
from links
where owner = $1
  and owner is not null
  and deleted_at is null
  and ($2::boolean is null or is_active = $2)
  and ($3::text is null or title ilike $3 collate "C" escape '\')
  and ($4::text is null or target ilike $4 collate "C" escape '\')
