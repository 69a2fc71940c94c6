-- $1 owner. Nobody else changes these links until the transaction ends.
select short_code
from links
where owner = $1
  and owner is not null
  and deleted_at is null
order by id
for no key update
