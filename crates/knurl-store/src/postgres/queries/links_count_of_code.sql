-- $1 short_code, $2 is_active, $3 title pattern, $4 target pattern, $5 owner
select count(*)
from links
where domain = ''
  and short_code = $1
  and deleted_at is null
  and ($2::boolean is null or is_active = $2)
  and ($3::text is null or title ilike $3 collate "C" escape '\')
  and ($4::text is null or target ilike $4 collate "C" escape '\')
  and ($5::bigint is null or owner = $5)
