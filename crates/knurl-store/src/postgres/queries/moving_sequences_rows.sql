-- $1 after, $2 up to, $3 limit. The last id that was given of each kind
select 0::bigint, name, last_id
from (
  select 'audit_acceptances' as name, last_value - (not is_called)::integer as last_id
  from audit_acceptances_id_seq
  union all
  select 'events', last_value - (not is_called)::integer
  from event_ids
  union all
  select 'keys', last_value - (not is_called)::integer
  from keys_id_seq
  union all
  select 'links', last_value - (not is_called)::integer
  from links_id_seq
  union all
  select 'users', last_value - (not is_called)::integer
  from users_id_seq
) as given
where 0::bigint > $1 and 0::bigint <= $2
  and last_id > 0
order by name
limit $3
