select
    date,
    src_ip,
    dst_ip,
    dst_port as port,
    protocol,
    direction,
    decision,
    encryption,
    max(service) as service,
    max(src_country) as src_country,
    max(dst_country) as dst_country,
    max(case when is_malicious then 1 else 0 end) = 1 as is_malicious,
    {{ merged_sums() }},
    min(first_at) as first_at,
    max(last_at) as last_at
from {{ ref('merged_flows') }}
group by date, src_ip, dst_ip, dst_port, protocol, direction, decision, encryption
