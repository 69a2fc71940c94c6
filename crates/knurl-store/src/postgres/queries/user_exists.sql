-- $1 id. Kept from being deleted until the transaction ends.
select 1
from users
where id = $1
for key share
