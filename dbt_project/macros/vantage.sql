{#- From where a flow was logged, and what makes it the same as another one. docs/adr/0012-counted-once.md
    has the reasons. -#}

{#- Whether a tuple begins a flow. -#}
{% macro is_new_flow() %}
case log_version
        when 1 then true
        when 2 then coalesce(flow_state = 'B', false)
        else decision = 'D' or coalesce(flow_state = 'B', false)
    end
{% endmacro %}


{#- NSG logs change their version inside a blob, so that both are one kind. -#}
{% macro log_kind() %}
  {{ return("case when log_version = 4 then 'vnet' else 'nsg' end") }}
{% endmacro %}

{#- Which of the logs of a kind: the flow log, or the NSG. -#}
{% macro log_id() %}
  {{ return("lower(coalesce(case when log_version = 4 then flow_log_id else acl_id end, ''))") }}
{% endmacro %}

{#- Which network interface, in capitals as in its name in a path. -#}
{% macro nic() %}
  {{ return("upper(coalesce(mac, ''))") }}
{% endmacro %}

{#- The address of a flow that the NIC that logged it takes for its own. -#}
{% macro own_ip() %}
  {{ return("case direction when 'I' then dst_ip else src_ip end") }}
{% endmacro %}


{#- A condition: the tuple is of a TCP flow that begins. Version 1 tells no beginnings; UDP sends nothing
    again by itself. -#}
{% macro is_syn() %}
protocol = 6
        and log_version in (2, 4)
        and (flow_state = 'B' or (log_version = 4 and decision = 'D'))
{% endmacro %}


{#- A SYN without an answer is sent again: soonest and latest, and the longest time of all of them. -#}
{% macro retransmitted_after() %}
  {{ return("between 500 and 4000") }}
{% endmacro %}

{% macro retransmitted_within() %}
  {{ return("130000") }}
{% endmacro %}

{#- A condition: each wait is about twice the one before; times in milliseconds, some logs know only seconds. -#}
{% macro is_longer_wait(before, after) %}
  {{ return(
      after ~ " >= 500 and 2 * " ~ after ~ " between 3 * " ~ before ~ " - 2000 and 5 * " ~ before ~ " + 2000"
  ) }}
{% endmacro %}
