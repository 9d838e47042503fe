{{ config(materialized='view') }}

select
    verdict,
    cast(count(*) as bigint) as nics,
    cast(min(seconds_to_first_probe) as bigint) as seconds_least,
    {{ quantile('seconds_to_first_probe', 0.25) }} as seconds_quarter,
    {{ quantile('seconds_to_first_probe', 0.5) }} as seconds_median,
    {{ quantile('seconds_to_first_probe', 0.75) }} as seconds_three_quarters,
    cast(max(seconds_to_first_probe) as bigint) as seconds_most,
    {{ quantile('probes_before_online', 0.5) }} as probes_median,
    {{ quantile('sources_before_online', 0.5) }} as sources_median
from {{ ref('nic_first_contacts') }}
group by verdict
