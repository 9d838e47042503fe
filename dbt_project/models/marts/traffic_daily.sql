select
    date,
    {{ traffic_dimensions() }},
    {{ merged_sums() }}
from {{ ref('traffic_hourly') }}
group by
    date,
    {{ traffic_dimensions() }}
