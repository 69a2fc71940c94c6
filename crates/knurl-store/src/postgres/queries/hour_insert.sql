-- Arrays: $1 link, $2 hour, $3 total, $4 human, $5 visitors, $6 sketch; of hours there are none of
insert into link_hours (link_id, hour, total, human, visitors, sketch)
select *
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
