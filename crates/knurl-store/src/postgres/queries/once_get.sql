-- $1 id
select at, fingerprint, fates
from onces
where id = $1
