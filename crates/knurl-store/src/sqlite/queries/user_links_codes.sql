-- ?1 owner
select short_code
from links
where owner = ?1
  and owner is not null
  and deleted_at is null
order by id
