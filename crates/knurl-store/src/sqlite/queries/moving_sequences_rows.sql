-- ?1 after, ?2 up to, ?3 limit. The last id that was given of each kind
select 0, name, seq
from sqlite_sequence
where 0 > ?1 and 0 <= ?2
  and name in ('audit_acceptances', 'events', 'keys', 'links', 'users')
  and seq > 0
order by name
limit ?3
