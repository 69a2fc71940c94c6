-- When somebody else emptied the table last (`knurl_links_removed`). A clock that was set back since knows nothing of it.
select emptied_at
from knurl_total('links_emptied_at') as emptied_at
where emptied_at > 0 and emptied_at <= extract(epoch from clock_timestamp()) * 1000
