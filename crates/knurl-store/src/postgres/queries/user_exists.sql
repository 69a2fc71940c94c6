-- $1 id. Kept from being deleted until the transaction ends. A row that somebody holds is not waited for: it is as if it were not there.
select 1
from users
where id = $1
for key share skip locked
