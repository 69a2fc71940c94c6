-- ?1 after, ?2 up to, ?3 limit
select at, id, fingerprint, fates
from onces
where at > ?1 and at <= ?2
order by at, id
limit ?3
